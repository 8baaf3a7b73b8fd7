-- attack: Luau's own coroutine-close
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return coroutine.close(coroutine.create(print))
