-- attack: string.dump as a method
-- why: methods are looked up in the same cut-down table
-- class: 14
-- expect: value true

return ('').dump == nil and ('').pack == nil and ('').unpack == nil
