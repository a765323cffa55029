"""The core of stream-rec: events in, lists out; no Kafka, no clock, no disk.

Read in this order; imports point upwards only.

    events, items, policy, toplist, errors   the vocabulary: what comes in, what goes out
    profiles/          what is remembered of a user: a fold of events that commutes
    statistics/        what is known of items from behaviour: a fold of facts that commutes
    catalogue/         what is known of items from producers, and their vectors
    experts/           first opinions on what comes next
    ranking/           candidates, features, the re-ranker that learns online, rules, reasons
    replica            what every worker holds a whole copy of
    publish, step      one batch of events, in five parts: start reading in `step`
    replay             the same step over recorded streams
    language_model/    the slow learner beside the fast path; the only place with torch
    simulation/        the shop of the demo and of the tests
"""
