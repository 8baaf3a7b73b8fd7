-- attack: a global counter in one snippet
-- why: the same
-- class: 16
-- expect: value 1

counter = (counter or 0) + 1
return counter
---- again
