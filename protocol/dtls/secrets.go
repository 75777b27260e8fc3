package dtls

// Keys are the secrets of a session that decrypt its records, for decoders that
// were asked to look inside. See also [Secrets].
type Keys struct {
	ClientKey, ServerKey   [16]byte
	ClientSalt, ServerSalt [4]byte
	// CID in the client's records and in the server's.
	ClientCID, ServerCID CID
}

// Block returns the key block: client key, server key, client salt, server salt
// (RFC 5246 Section 6.3).
func (k *Keys) Block() []byte {
	b := append(k.ClientKey[:len(k.ClientKey):len(k.ClientKey)], k.ServerKey[:]...)
	return append(append(b, k.ClientSalt[:]...), k.ServerSalt[:]...)
}

// KeysFromBlock returns the Keys of a key block of 40 bytes.
func KeysFromBlock(block *[keyBlockSize]byte, clientCID, serverCID []byte) (k Keys) {
	b := block[:]
	b = b[copy(k.ClientKey[:], b):]
	b = b[copy(k.ServerKey[:], b):]
	b = b[copy(k.ClientSalt[:], b):]
	copy(k.ServerSalt[:], b)
	k.ClientCID, k.ServerCID = NewCID(clientCID), NewCID(serverCID)
	return k
}

// Secrets returns the keys of s.
func (s *Session) Secrets() Keys {
	k := Keys{
		ClientKey: s.writeKey, ServerKey: s.readKey, ClientSalt: s.writeSalt, ServerSalt: s.readSalt,
		ClientCID: s.writeCID, ServerCID: s.readCID,
	}
	if s.server {
		k = Keys{
			ClientKey: s.readKey, ServerKey: s.writeKey, ClientSalt: s.readSalt, ServerSalt: s.writeSalt,
			ClientCID: s.readCID, ServerCID: s.writeCID,
		}
	}
	return k
}

// setKeys is the reverse of Secrets.
func (s *Session) setKeys(k *Keys) {
	s.readKey, s.writeKey, s.readSalt, s.writeSalt = k.ServerKey, k.ClientKey, k.ServerSalt, k.ClientSalt
	s.readCID, s.writeCID = k.ServerCID, k.ClientCID
	if s.server {
		s.readKey, s.writeKey, s.readSalt, s.writeSalt = k.ClientKey, k.ServerKey, k.ClientSalt, k.ServerSalt
		s.readCID, s.writeCID = k.ClientCID, k.ServerCID
	}
}
