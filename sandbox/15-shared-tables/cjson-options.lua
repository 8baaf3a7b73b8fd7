-- attack: sets an option of a shared module
-- why: the option applies only until the call ends
-- class: 15
-- expect: value "[]"

require('cjson').encode_sparse_array(true)
require('cjson').encode_number_precision(3)
---- next run
return require('cjson').encode(require('cjson').empty_array)
