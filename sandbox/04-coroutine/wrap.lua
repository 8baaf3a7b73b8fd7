-- attack: an endless loop inside a coroutine
-- why: the interrupt belongs to the VM, not to one coroutine
-- class: 4
-- expect: stopped

coroutine.wrap(function() while true do end end)()
