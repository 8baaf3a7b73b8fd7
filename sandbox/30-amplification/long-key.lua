-- attack: a key of great length
-- why: keys are bounded
-- class: 30
-- expect: error "key is longer"

kong.log.set_serialize_value(('a.'):rep(1e5), 1)
