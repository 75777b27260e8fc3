package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a password: argon2id with 19 MiB, two passes and one lane, the
// smallest that OWASP recommends. The parameters stand in each hash, so that they
// can change.
const (
	hashMemory  = 19 << 10 // KiB
	hashPasses  = 2
	hashLanes   = 1
	hashSalt    = 16
	hashSize    = 32
	passwordMax = 1024 // bytes
)

// hashPassword returns the hash of a password in PHC form. It waits while as many
// others are under way as there are cores: each takes hashMemory.
func (s *Server) hashPassword(ctx context.Context, password string) (string, error) {
	salt := make([]byte, hashSalt)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("api: hashing a password: %w", err)
	}
	if err := acquire(ctx, s.hashes); err != nil {
		return "", err
	}
	defer release(s.hashes)
	sum := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashLanes, hashSize)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, hashMemory, hashPasses, hashLanes, encode(salt), encode(sum)), nil
}

var errHash = errors.New("api: the hash of a password is not one")

// checkPassword reports whether the password belongs to the hash. With an empty
// hash it takes as long as with any other and says no.
func (s *Server) checkPassword(ctx context.Context, hash, password string) (bool, error) {
	memory, passes, lanes := uint32(hashMemory), uint32(hashPasses), uint8(hashLanes)
	salt, sum := make([]byte, hashSalt), make([]byte, hashSize)
	if hash != "" {
		fields := strings.Split(hash, "$")
		if len(fields) != 6 || fields[1] != "argon2id" || fields[2] != fmt.Sprintf("v=%d", argon2.Version) {
			return false, errHash
		}
		var err1, err2 error
		salt, err1 = base64.RawStdEncoding.DecodeString(fields[4])
		sum, err2 = base64.RawStdEncoding.DecodeString(fields[5])
		n, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes)
		if n != 3 || errors.Join(err, err1, err2) != nil || passes == 0 || lanes == 0 || len(sum) == 0 {
			return false, errHash
		}
	}
	if err := acquire(ctx, s.hashes); err != nil {
		return false, err
	}
	defer release(s.hashes)
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(sum)))
	return subtle.ConstantTimeCompare(got, sum) == 1 && hash != "", nil
}
