-- attack: a source of ten megabytes
-- why: its length is bounded
-- class: 31
-- repeat: "x" 10000000
-- expect: error "larger than"

--@1@
return 1
