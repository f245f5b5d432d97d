-- SHA-256 of a secret. Source: FIPS 180-4. LuaJIT's numbers of the `bit` library are signed 32 bits, and wrap as the
-- standard asks. Arrays of C hold such numbers as they are, so that LuaJIT converts none: a table holds fractions.
local bit, ffi = require('bit'), require('ffi')
local band, bxor, bswap = bit.band, bit.bxor, bit.bswap
local ror, shr, int32 = bit.ror, bit.rshift, bit.tobit

-- No key is longer. A hash of a header of 60 kB would keep a worker busy for a millisecond.
local LENGTH_MAX = 256

local START, ROUND = ffi.new('int32_t[8]'), ffi.new('int32_t[64]')
local padded, words, hash = ffi.new('uint8_t[?]', LENGTH_MAX + 64), ffi.new('int32_t[64]'), ffi.new('int32_t[8]')
local input = ffi.cast('int32_t *', padded)

-- The first 32 bits of the fractional parts of the square and cube roots of the first primes.
local function fraction(x)
  return int32(math.floor((x - math.floor(x)) * 4294967296))
end
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

local function add_block(at)
  for i = 0, 15 do words[i] = bswap(input[at + i]) end
  for i = 16, 63 do
    local x, y = words[i - 15], words[i - 2]
    local low = bxor(ror(x, 7), ror(x, 18), shr(x, 3))
    local high = bxor(ror(y, 17), ror(y, 19), shr(y, 10))
    words[i] = int32(words[i - 16] + low + words[i - 7] + high)
  end
  local a, b, c, d, e, f, g, h = hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]
  for i = 0, 63 do
    local choice = bxor(g, band(e, bxor(f, g)))
    local one = int32(h + bxor(ror(e, 6), ror(e, 11), ror(e, 25)) + choice + ROUND[i] + words[i])
    local majority = bxor(b, band(bxor(a, b), bxor(b, c)))
    local two = int32(bxor(ror(a, 2), ror(a, 13), ror(a, 22)) + majority)
    h, g, f, e, d, c, b, a = g, f, e, int32(d + one), c, b, a, int32(one + two)
  end
  hash[0], hash[1], hash[2], hash[3] = int32(hash[0] + a), int32(hash[1] + b), int32(hash[2] + c), int32(hash[3] + d)
  hash[4], hash[5], hash[6], hash[7] = int32(hash[4] + e), int32(hash[5] + f), int32(hash[6] + g), int32(hash[7] + h)
end

-- Writes the hash of at most LENGTH_MAX bytes to `hash`, and leaves nothing of them behind.
local function sha256(text)
  local blocks = shr(#text + 8, 6) + 1
  ffi.fill(padded, 64 * blocks)
  ffi.copy(padded, text, #text)
  padded[#text] = 128
  input[16 * blocks - 1] = bswap(8 * #text)
  ffi.copy(hash, START, 32)
  for at = 0, 16 * (blocks - 1), 16 do add_block(at) end
  ffi.fill(padded, 64 * blocks)
  ffi.fill(words, 256)
end
