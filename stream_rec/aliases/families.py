"""The dialects that are understood, one table each; `docs/events.md` shows an example of each.

Sources: the public documentation of each product, as of November 2026.
"""

from stream_rec.aliases.dialect import Dialect

GORSE = Dialect(
    name="gorse",
    known_by=(frozenset({"FeedbackType", "UserId", "ItemId"}),),
    paths={
        "event_type": ("FeedbackType",),
        "user_id": ("UserId",),
        "item_id": ("ItemId",),
        "timestamp": ("Timestamp",),
        "value": ("Value",),
        "text": ("Comment",),
    },
    # What Gorse calls `read` says that an item was put before the user.
    types={"read": "impression", "star": "like", "favorite": "like"},
)

METARANK = Dialect(
    name="metarank",
    known_by=(frozenset({"event", "user", "item", "timestamp"}),),
    paths={
        "event_id": ("id",),
        "event_type": ("type", "event"),
        "user_id": ("user",),
        "item_id": ("item",),
        "timestamp": ("timestamp",),
        "session_id": ("session",),
        "rating": ("fields.name=rating",),
        "title": ("fields.name=title",),
        "text": ("fields.name=text", "fields.name=review", "fields.name=comment"),
        "value": ("fields.name=value",),
        "recommendation_id": ("ranking",),
    },
)

# The list that was shown; interactions name its id as their `ranking`.
METARANK_RANKING = Dialect(
    name="metarank",
    known_by=(frozenset({"event", "user", "items", "timestamp"}),),
    paths={
        "event_id": ("id",),
        "user_id": ("user",),
        "item_id": ("line.id",),
        "timestamp": ("timestamp",),
        "session_id": ("session",),
        "recommendation_id": ("id",),
    },
    event_type="impression",
    lines="items",
)

PERSONALIZE = Dialect(
    name="personalize",
    known_by=(
        frozenset({"userId", "eventList"}),
        frozenset({"userId", "itemId", "sentAt"}),
    ),
    paths={
        "event_id": ("line.eventId", "eventId"),
        "event_type": ("line.eventType", "eventType"),
        "user_id": ("userId",),
        "item_id": ("line.itemId", "itemId"),
        "timestamp": ("line.sentAt", "sentAt"),
        "session_id": ("sessionId",),
        "value": ("line.eventValue", "eventValue"),
        "recommendation_id": ("line.recommendationId", "recommendationId"),
    },
    lines="eventList",
)

# The columns of a Personalize interactions dataset.
PERSONALIZE_DATASET = Dialect(
    name="personalize",
    known_by=(frozenset({"USER_ID", "ITEM_ID", "TIMESTAMP"}),),
    paths={
        "event_type": ("EVENT_TYPE",),
        "user_id": ("USER_ID",),
        "item_id": ("ITEM_ID",),
        "timestamp": ("TIMESTAMP",),
        "value": ("EVENT_VALUE",),
        "recommendation_id": ("RECOMMENDATION_ID",),
    },
)

GOOGLE_RETAIL = Dialect(
    name="google_retail",
    known_by=(frozenset({"eventType", "visitorId"}),),
    paths={
        "event_type": ("eventType",),
        "user_id": ("userInfo.userId", "visitorId"),
        "item_id": ("line.product.id",),
        "timestamp": ("eventTime",),
        "session_id": ("sessionId",),
        "value": ("line.quantity",),
        "recommendation_id": ("attributionToken",),
    },
    types={
        "detail-page-view": "view",
        "add-to-cart": "cart",
        "remove-from-cart": "skip",
        "purchase-complete": "purchase",
        "search": "impression",
        "home-page-view": "impression",
        "category-page-view": "impression",
        "shopping-cart-page-view": "impression",
    },
    lines="productDetails",
)

SEGMENT = Dialect(
    name="segment",  # RudderStack writes the same
    known_by=(
        frozenset({"event", "userId", "properties"}),
        frozenset({"event", "anonymousId", "properties"}),
    ),
    paths={
        "event_id": ("messageId",),
        "event_type": ("event",),
        "user_id": ("userId", "anonymousId"),
        "item_id": ("line.product_id", "properties.product_id", "properties.item_id"),
        "timestamp": ("timestamp", "originalTimestamp", "sentAt", "receivedAt"),
        "session_id": ("context.sessionId", "context.session_id", "properties.session_id"),
        "rating": ("properties.rating",),
        "title": ("properties.review_title",),
        "text": ("properties.review_body",),
        "value": ("line.quantity", "properties.quantity", "properties.value"),
        "recommendation_id": ("properties.recommendation_id", "properties.list_id"),
        "position": ("line.position", "properties.position"),
    },
    types={
        "product_viewed": "view",
        "product_clicked": "click",
        "product_added": "cart",
        "product_removed": "skip",
        "product_added_to_wishlist": "bookmark",
        "product_removed_from_wishlist": "skip",
        "product_shared": "like",
        "product_reviewed": "review",
        "order_completed": "purchase",
        "product_list_viewed": "impression",
        "product_list_filtered": "impression",
        "cart_viewed": "impression",
    },
    lines="properties.products",
)

_ECOMMERCE = "com_snowplowanalytics_snowplow_ecommerce"
SNOWPLOW = Dialect(
    name="snowplow",
    known_by=(
        frozenset({"event_name", "domain_userid"}),
        frozenset({"event_name", "derived_tstamp"}),
        frozenset({"event_name", "collector_tstamp"}),
    ),
    paths={
        "event_id": ("event_id",),
        "event_type": (
            f"unstruct_event_{_ECOMMERCE}_snowplow_ecommerce_action_1.type",
            "se_action",
            "event_name",
        ),
        "user_id": ("user_id", "domain_userid", "network_userid"),
        "item_id": ("line.id", "ti_sku", "se_label"),
        "timestamp": ("derived_tstamp", "collector_tstamp"),
        "session_id": ("domain_sessionid",),
        "value": ("line.quantity", "ti_quantity", "se_value"),
        "position": ("line.position",),
    },
    types={
        "product_view": "view",
        "list_click": "click",
        "list_view": "impression",
        "add_to_cart": "cart",
        "add-to-basket": "cart",
        "remove_from_cart": "skip",
        "remove-from-basket": "skip",
        "transaction": "purchase",
        "transaction_item": "purchase",
        "refund": "skip",
    },
    lines=f"contexts_{_ECOMMERCE}_product_1",
)

AMAZON_REVIEWS = Dialect(
    name="amazon_reviews",  # as published in 2023
    known_by=(frozenset({"user_id", "parent_asin"}), frozenset({"user_id", "asin"})),
    paths={
        "user_id": ("user_id",),
        "item_id": ("parent_asin", "asin"),
        "timestamp": ("timestamp",),
        "rating": ("rating",),
        "title": ("title",),
        "text": ("text",),
    },
    event_type="review",
)

# The first that knows a record reads it, so those known by fewer names come later.
DIALECTS = (
    GORSE, METARANK, METARANK_RANKING, PERSONALIZE, PERSONALIZE_DATASET, GOOGLE_RETAIL, SEGMENT,
    SNOWPLOW, AMAZON_REVIEWS,
)  # fmt: skip
FORMATS = ("auto", "native", "cloudevents", *dict.fromkeys(one.name for one in DIALECTS))
