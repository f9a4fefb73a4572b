// Opens sensitive fields with Node's own crypto: the private key and the
// ciphertexts come as JSON, the plaintexts go out as JSON.
import { constants, privateDecrypt } from 'node:crypto';

let given = '';
for await (const chunk of process.stdin) given += chunk;
const { key, sealed } = JSON.parse(given);
const open = (text) => privateDecrypt(
  { key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
  Buffer.from(text, 'base64'),
).toString('utf8');
console.log(JSON.stringify(sealed.map(open)));
