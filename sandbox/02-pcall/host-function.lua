-- attack: swallows the stop around functions of the host
-- why: it is raised again at every turn
-- class: 2
-- expect: stopped

while true do pcall(kong.request.get_headers) pcall(ngx.re.match, 'x', '(y)') end
