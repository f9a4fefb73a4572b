// What pages and apps need, made by wxproxy and made once more here: with the
// builders of wechatpay-node-v3, the formatter of wechatpay-axios-plugin and
// Node's crypto, which hold the merchant's real key.
import { createHmac, createSign, createVerify, privateDecrypt, constants } from 'node:crypto';
import assert from 'node:assert/strict';
import superagent from 'superagent';
import Pay from 'wechatpay-node-v3';
import plugin from 'wechatpay-axios-plugin';
import { Validator } from '@seriousme/openapi-schema-validator';
import { s, prepay, run } from './settings.mjs';

const { Formatter, Hash } = plugin;

async function ask(path, body, headers = {}) {
  const answer = await fetch(`${s.base}/_wxproxy/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'Wxproxy-Token': s.token, 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'object' ? JSON.stringify(body) : body,
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const sign = (text) => createSign('RSA-SHA256').update(text).sign(s.privateKey, 'base64');
const holds = (text, signature) => createVerify('RSA-SHA256').update(text).verify(s.certificate, signature, 'base64');

const pay = new Pay({ appid: prepay.appid, mchid: s.mchid, serial_no: s.serial, publicKey: Buffer.from(s.certificate), privateKey: Buffer.from(s.privateKey) });
async function send(url, params, headers) {
  const base = url.replace('https://api.mch.weixin.qq.com', s.base);
  const answer = await superagent('POST', base).set({ ...headers, 'Wxproxy-Token': s.token }).send(JSON.stringify(params));
  return { status: answer.status, data: JSON.parse(answer.text) };
}
pay.createHttp({ post: send, get: () => assert.fail('nothing is read') });

const order = (suffix) => ({ ...prepay, out_trade_no: s.order + suffix });

await run({
  // Our parameters beside those of wechatpay-node-v3 for the same order.
  async pay() {
    const page = await pay.transactions_jsapi({ ...order('J'), payer: { openid: 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o' } });
    const theirs = page.data;
    const prepayID = theirs.package.slice('prepay_id='.length);
    const ours = await ask('v1/pay-params/jsapi', { appid: prepay.appid, prepay_id: prepayID });
    assert.deepEqual(Object.keys(ours).sort(), Object.keys(theirs).sort());
    for (const p of [theirs, ours]) {
      const text = Formatter.joinedByLineFeed(p.appId, p.timeStamp, p.nonceStr, p.package);
      assert.equal(sign(text), p.paySign); // the signature is deterministic
      assert.ok(holds(text, p.paySign));
    }
    assert.equal(ours.package, theirs.package);
    const mini = await ask('v1/pay-params/miniprogram', { appid: prepay.appid, prepay_id: prepayID });
    assert.equal(sign(Formatter.joinedByLineFeed(prepay.appid, mini.timeStamp, mini.nonceStr, mini.package)), mini.paySign);
    assert.equal('appId' in mini, false);

    const app = (await pay.transactions_app(order('A'))).data;
    const own = await ask('v1/pay-params/app', { appid: prepay.appid, prepay_id: app.prepayid });
    assert.deepEqual(Object.keys(own).sort(), Object.keys(app).filter((k) => k !== 'status').sort());
    for (const p of [app, own]) {
      assert.equal(sign(Formatter.joinedByLineFeed(p.appid, p.timestamp, p.noncestr, p.prepayid)), p.sign);
      assert.deepEqual([p.partnerid, p.package], [s.mchid, 'Sign=WXPay']);
    }
    return 'same';
  },

  // The APIv2 family against the plugin's Hash, and against Node's crypto.
  async pairs() {
    for (const [name, body] of Object.entries({
      wxpayScoreUse: { package: 'DJIOSQPYWDxsjdldeuwhdodwxasd_dDiodnwjh9we' },
      wxpayScoreEnable: { service_id: '88888888000011', out_request_no: '1234323JKHDFE1243252' },
      wxpayScoreDetail: { service_id: '88888888000011', out_order_no: '1234323JKHDFE1243252' },
      couponH5: { stock_id: '1234567890000000', out_request_no: '201911280000', open_id: 'oiSFDIOoijdsf', coupon_code: 'c1' },
      couponPlugin: { coupons: [{ stock_id: '123', out_request_no: 'R123' }, { stock_id: '456', out_request_no: 'R456', coupon_code: 'c2' }] },
    })) {
      const { sign: ours, url, send_coupon_params: coupons, ...pairs } = await ask(`v1/sign/${name}`, body);
      coupons?.forEach((c, i) => Object.entries(c).forEach(([k, v]) => { pairs[k + i] = v; }));
      assert.equal(ours, Hash.sign(Hash.ALGO_HMAC_SHA256, pairs, s.apiv2Key));
      const text = Object.keys(pairs).sort().map((k) => `${k}=${pairs[k]}`).join('&') + `&key=${s.apiv2Key}`;
      assert.equal(ours, createHmac('sha256', s.apiv2Key).update(text).digest('hex').toUpperCase());
      if (url) {
        const query = Object.fromEntries(new URL(url).searchParams);
        assert.deepEqual(query, { ...pairs, sign: ours });
      }
    }
    const card = await ask('v1/sign/discountCard', { appid: prepay.appid, discount_card_id: '87789b2f', out_trade_no: 'T1' });
    assert.equal(sign(Formatter.joinedByLineFeed(card.appid, card.timestamp, card.nonce_str, card.discount_card_id, card.mch_id, card.out_trade_no)), card.sign);
    assert.equal(card.serial_no, s.serial);
    return 'same';
  },

  // What WeChat Pay's self-test reads of our ciphertext, and what we read of its.
  async seal() {
    const { values: [ciphertext], serial } = await ask('v1/encrypt', { values: ['张三 <&>'] });
    const echo = await fetch(`${s.base}/v3/security/echo`, {
      method: 'POST', headers: { 'Wxproxy-Token': s.token, 'Content-Type': 'application/json', 'Wechatpay-Serial': serial, 'Wxproxy-Sensitive': 'off' },
      body: JSON.stringify({ echo_message: 'x', encrypted_echo_message: ciphertext }),
    });
    const text = await echo.text();
    assert.equal(echo.status, 200, text);
    const back = JSON.parse(text).encrypted_echo_message;
    const plain = privateDecrypt({ key: s.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, Buffer.from(back, 'base64'));
    assert.equal(plain.toString(), '张三 <&>');
    assert.deepEqual(await ask('v1/decrypt', { values: [back] }), { values: ['张三 <&>'] });
    return 'same';
  },

  // The document is OpenAPI 3.1 to a validator of another maker.
  async openapi() {
    const document = await ask('openapi.json');
    const validator = new Validator();
    const result = await validator.validate(document);
    assert.ok(result.valid, JSON.stringify(result.errors));
    assert.equal(validator.version, '3.1');
    delete document.paths['/_wxproxy/v1/encrypt'].post.responses;
    document.paths.x = {};
    assert.equal((await new Validator().validate(document)).valid, false); // it can say no
    return 'valid';
  },
});
