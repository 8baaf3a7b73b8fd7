-- attack: a replacement that never ends
-- why: the function runs under the same deadline
-- class: 6
-- expect: stopped

return ngx.re.gsub('aaa', 'a', function() while true do end end)
