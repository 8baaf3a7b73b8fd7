-- attack: looks up members of the transaction without end
-- why: a lookup asks the deadline by the members that it looks through
-- class: 33
-- expect: stopped

while true do kong.request.get_header('user-agent') kong.client.get_port() end
