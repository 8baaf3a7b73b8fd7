-- attack: sets an option of a module for everybody
-- why: it holds until the call ends
-- class: 15
-- expect: value "[]"

require('cjson').encode_sparse_array(true)
require('cjson').encode_number_precision(3)
---- next run
return require('cjson').encode(require('cjson').empty_array)
