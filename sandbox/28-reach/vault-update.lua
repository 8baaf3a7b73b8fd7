-- attack: has the vault fetch secrets again
-- why: what reaches beyond the values that were read is unavailable
-- class: 28
-- expect: error "kong.vault.update is not available"

return kong.vault.update({})
