-- attack: string.rep where the profile has none
-- why: neither the function nor the method is there
-- class: 14
-- settings: profile: sandbox
-- expect: value true

return string.rep == nil and ('').rep == nil
