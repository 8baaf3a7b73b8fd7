-- attack: an error that is a table
-- why: the host never converts it by a metamethod
-- class: 26
-- expect: error ""

error({code = 1})
