-- attack: calls Luau's task
-- why: names absent from Kong's list are absent
-- class: 32
-- expect: error "nil"

return task.spawn(print)
