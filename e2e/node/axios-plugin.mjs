// wechatpay-axios-plugin verifies every answer by itself.
import { createHash } from 'node:crypto';
import { s, prepay, refund, run } from './settings.mjs';
import { v3 } from './plugin.mjs';

await run({
  prepay: async () => (await v3.pay.transactions.native.post(prepay)).data,
  query: async () => (await v3.pay.transactions.outTradeNo._order_.get({ params: { mchid: s.mchid }, order: s.order })).data,
  bill: async () => {
    const { data } = await v3.bill.tradebill.get({ params: { bill_date: '2026-01-01' } });
    const token = new URL(data.download_url).searchParams.get('token');
    const file = await v3.billdownload.file.get({ params: { token }, responseType: 'arraybuffer' });
    return { promised: data.hash_value, found: createHash('sha1').update(file.data).digest('hex') };
  },
  refund: async () => (await v3.refund.domestic.refunds.post(refund)).data,
});
