-- attack: a finalizer that runs after the deadline
-- why: newproxy and setmetatable are not there
-- class: 20
-- expect: value true

return newproxy == nil and setmetatable == nil
