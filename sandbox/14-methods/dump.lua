-- attack: string.dump as a method
-- why: methods are looked up in the same cut-down table
-- class: 14
-- expect: error "attempt to call"

return ('').dump(print)
