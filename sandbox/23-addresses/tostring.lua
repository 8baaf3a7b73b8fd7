-- attack: reads an address with tostring
-- why: tostring returns only the type name of such a value
-- class: 23
-- expect: value "tablefunctionthread"

return tostring({}) .. tostring(print) .. tostring(coroutine.create(print))
