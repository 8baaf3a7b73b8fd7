-- attack: a secret out of the vault
-- why: there is none, and it says so
-- class: 28
-- expect: error "kong.vault is not available"

return kong.vault.get('{vault://env/secret}')
