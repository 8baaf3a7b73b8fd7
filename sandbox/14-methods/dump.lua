-- attack: calls string.dump as a method
-- why: methods are looked up in the same restricted table
-- class: 14
-- expect: error "attempt to call"

return ('').dump(print)
