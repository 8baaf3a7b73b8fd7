-- attack: every name that reaches out of a VM
-- why: none of them is there
-- class: 32
-- expect: value true

return load == nil and loadstring == nil and dofile == nil and debug == nil and package == nil and rawset == nil and newproxy == nil
