-- Replaces the secret of a request by its SHA-256, so that Envoy's configuration and memory contain hashes only.
-- Source: FIPS 180-4. LuaJIT's numbers of the `bit` library are signed 32 bits, and wrap as the standard asks.
local bit = require('bit')
local band, bnot, bor, bxor = bit.band, bit.bnot, bit.bor, bit.bxor
local ror, shl, shr, int32 = bit.ror, bit.lshift, bit.rshift, bit.tobit

-- The first 32 bits of the fractional parts of the square and cube roots of the first primes.
local function fraction(x)
  return int32(math.floor((x - math.floor(x)) * 4294967296))
end
local START, ROUND = {}, {}
do
  local found, candidate = 0, 2
  while found < 64 do
    local prime = true
    for divisor = 2, math.sqrt(candidate) do
      if candidate % divisor == 0 then prime = false break end
    end
    if prime then
      if found < 8 then START[found] = fraction(candidate ^ (1 / 2)) end
      ROUND[found] = fraction(candidate ^ (1 / 3))
      found = found + 1
    end
    candidate = candidate + 1
  end
end

local words = {}

local function block(text, at, h)
  for i = 0, 15 do
    local b0, b1, b2, b3 = string.byte(text, at + 4 * i, at + 4 * i + 3)
    words[i] = bor(shl(b0, 24), shl(b1, 16), shl(b2, 8), b3)
  end
  for i = 16, 63 do
    local x, y = words[i - 15], words[i - 2]
    local low = bxor(ror(x, 7), ror(x, 18), shr(x, 3))
    local high = bxor(ror(y, 17), ror(y, 19), shr(y, 10))
    words[i] = int32(words[i - 16] + low + words[i - 7] + high)
  end
  local a, b, c, d, e, f, g, last = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
  for i = 0, 63 do
    local choice = bxor(band(e, f), band(bnot(e), g))
    local one = int32(last + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + choice + ROUND[i] + words[i])
    local majority = bxor(band(a, b), band(a, c), band(b, c))
    local two = int32(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + majority)
    last, g, f, e, d, c, b, a = g, f, e, int32(d + one), c, b, a, int32(one + two)
  end
  local add = { [0] = a, b, c, d, e, f, g, last }
  for i = 0, 7 do h[i] = int32(h[i] + add[i]) end
end

local function sha256(text)
  local bits = 8 * #text
  local length = string.char(0, 0, 0, 0, band(shr(bits, 24), 255), band(shr(bits, 16), 255), band(shr(bits, 8), 255), band(bits, 255))
  local padded = text .. '\128' .. string.rep('\0', (55 - #text) % 64) .. length
  local h = {}
  for i = 0, 7 do h[i] = START[i] end
  for at = 1, #padded, 64 do block(padded, at, h) end
  local hex = {}
  for i = 0, 7 do hex[i + 1] = bit.tohex(h[i]) end
  return table.concat(hex)
end

-- No key is longer. A hash of a header of 60 kB would keep a worker busy for a millisecond.
local LENGTH_MAX = 256

function envoy_on_request(handle)
  local headers = handle:headers()
  local authorization = headers:get('authorization')
  local secret = authorization and authorization:match('^[Bb][Ee][Aa][Rr][Ee][Rr] +([^ ]+) *$')
  secret = secret or headers:get('x-api-key')
  headers:remove('authorization')
  headers:remove('x-api-key')
  if secret and #secret <= LENGTH_MAX then
    headers:replace('x-bateau-key-sha256', sha256(secret))
  end
end
