-- attack: calls string.rep under a profile that lacks it
-- why: neither the function nor the method exists
-- class: 14
-- settings: profile: sandbox
-- expect: value true

return string.rep == nil and ('').rep == nil
