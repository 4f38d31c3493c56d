package db

import "strconv"

// Where names the server and the database that o leads to, as DB.Where does, without connecting; "" where the
// connection string is malformed.
func (o Options) Addr() string {
	c, err := Config(o)
	if err != nil {
		return ""
	}
	return c.Host + ":" + strconv.Itoa(int(c.Port)) + "/" + c.Database
}
