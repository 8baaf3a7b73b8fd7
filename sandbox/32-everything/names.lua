-- attack: every name that reaches outside the VM
-- why: all of these names are absent
-- class: 32
-- expect: value true

return load == nil and loadstring == nil and dofile == nil and debug == nil and package == nil and rawset == nil and newproxy == nil
