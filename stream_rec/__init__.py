"""Recommendation lists as functions of profiles, profiles as folds of the log; no Kafka below."""
