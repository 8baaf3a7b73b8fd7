-- attack: requests native code generation
-- why: the program contains no native code generator
-- class: 32
-- expect: value 3

@native local function f() return 3 end
return f()
