-- attack: Luau's own task
-- why: Kong's list has it not, so that nobody has it
-- class: 32
-- expect: error "nil"

return task.spawn(print)
