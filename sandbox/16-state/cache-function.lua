-- attack: stores a function in the cache
-- why: the cache stores copies of plain values
-- class: 16
-- expect: value "plain"

pcall(function() kong.cache:get('k', nil, function() return print end) end)
return 1
---- next run
return (kong.cache:get('k', nil, function() return 'plain' end))
