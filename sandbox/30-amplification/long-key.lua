-- attack: sets a very long key
-- why: the length of keys is limited
-- class: 30
-- expect: error "key is longer"

kong.log.set_serialize_value(('a.'):rep(1e5), 1)
