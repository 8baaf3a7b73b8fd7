-- attack: addresses through tostring
-- why: it gives the kind alone
-- class: 23
-- expect: value "tablefunctionthread"

return tostring({}) .. tostring(print) .. tostring(coroutine.create(print))
