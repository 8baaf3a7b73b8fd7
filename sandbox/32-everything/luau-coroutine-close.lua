-- attack: calls Luau's coroutine.close
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return coroutine.close(coroutine.create(print))
