-- attack: edits the message in a replayed phase and fails
-- why: edits of a function that fails are taken back
-- class: 34
-- expect: error "no"
-- settings: phase: body_filter

kong.log.set_serialize_value('request.method', 'EVIL')
error('no')
