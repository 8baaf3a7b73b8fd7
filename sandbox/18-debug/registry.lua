-- attack: reads the registry
-- why: debug is absent
-- class: 18
-- expect: error "nil"

return debug.getregistry()
