package dtls

// keyBlockSize is two keys and two salts.
const keyBlockSize = 2 * (keySize + saltSize)
