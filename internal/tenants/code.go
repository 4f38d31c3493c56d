package tenants

import "fmt"

// CheckCode returns an error unless code is valid as a tenant code: 3 to 20 ASCII letters, digits, _ and -, as the
// CHECK constraint requires. Only checked codes may become part of a connection string.
func CheckCode(code string) error {
	ok := len(code) >= 3 && len(code) <= 20
	for _, c := range []byte(code) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		ok = ok && (letter || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("%.60q is not a tenant code; use 3 to 20 letters, digits, - and _", code)
	}
	return nil
}
