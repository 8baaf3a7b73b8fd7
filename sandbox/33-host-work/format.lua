-- attack: thousands of numbers with 99 digits in one call, again and again
-- why: each conversion is interrupted, and the result is limited
-- class: 33
-- expect: stopped
-- expect: limited

local numbers, pattern = {}, '%.99e%99.99f'
for i = 1, 2000 do numbers[i] = i / 3 * 1e300 end
for i = 1, 10 do pattern = pattern .. pattern end
while true do string.format(pattern, unpack(numbers)) end
