-- attack: catches the stop raised inside a host function
-- why: the stop is raised again at every iteration
-- class: 2
-- expect: stopped

while true do pcall(kong.request.get_headers) pcall(ngx.re.match, 'x', '(y)') end
