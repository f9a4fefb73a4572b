// What a test hands to a client: where wxproxy is, a throw-away merchant key
// (wxproxy replaces what is signed with it), and WeChat Pay's key, with which
// the client verifies each answer for itself.
export const s = JSON.parse(process.env.SETTINGS);

export const prepay = {
  appid: 'wxd678efh567hg6787',
  mchid: s.mchid,
  description: '一本书',
  out_trade_no: s.order,
  notify_url: s.notifyURL,
  amount: { total: 100, currency: 'CNY' },
};

export const refund = {
  out_trade_no: s.order,
  out_refund_no: `R-${s.order}`,
  reason: '退货',
  amount: { refund: 40, total: 100, currency: 'CNY' },
};

// run carries out the step that the command line names and prints the answer.
export async function run(steps) {
  try {
    console.log(JSON.stringify(await steps[process.argv[2]]()));
  } catch (error) {
    console.error(`${error.code ?? ''} ${error.message}`);
    process.exitCode = 1;
  }
}
