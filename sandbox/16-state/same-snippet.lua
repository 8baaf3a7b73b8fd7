-- attack: counts runs in a global
-- why: globals are discarded after each run
-- class: 16
-- expect: value 1

counter = (counter or 0) + 1
return counter
---- again
