-- attack: the registry
-- why: debug is not there
-- class: 18
-- expect: error "nil"

return debug.getregistry()
