-- attack: asks for machine code
-- why: there is no compiler to machine code in the program
-- class: 32
-- expect: value 3

@native local function f() return 3 end
return f()
