-- attack: reads a secret from the vault
-- why: kong.vault is unavailable, and its use raises an error
-- class: 28
-- expect: error "kong.vault is not available"

return kong.vault.get('{vault://env/secret}')
