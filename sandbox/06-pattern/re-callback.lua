-- attack: a replacement function that never returns
-- why: the function runs under the deadline of the script
-- class: 6
-- expect: stopped

return ngx.re.gsub('aaa', 'a', function() while true do end end)
