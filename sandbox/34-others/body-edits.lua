-- attack: edits members of a body that may be added later, without end
-- why: edits that would be applied again are bounded
-- class: 34
-- expect: error "edits of bodies"
-- expect: stopped

for i = 1, 1e6 do kong.log.set_serialize_value('body.k' .. i, i) end
