-- attack: removes members of the message and fails
-- why: a snippet that fails leaves no edit behind
-- class: 34
-- expect: field /service/name "orders"
-- expect: error "enough"

kong.log.set_serialize_value('service', nil)
kong.log.set_serialize_value('request.headers', nil)
kong.log.set_serialize_value('beyond', 'mine')
error('enough')
