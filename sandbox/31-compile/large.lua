-- attack: a source of ten megabytes
-- why: the length of a source is limited
-- class: 31
-- repeat: "x" 10000000
-- expect: error "larger than"

--@1@
return 1
