-- attack: reads the environment of the caller
-- why: getfenv and setfenv are absent
-- class: 18
-- expect: value true

return getfenv == nil and setfenv == nil
